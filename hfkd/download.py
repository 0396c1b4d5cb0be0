"""Downloads the data sets that OpenML has, through scikit-learn (ours)."""

import http.client
import os
import tempfile
from pathlib import Path

import numpy as np

from hfkd import paths

# name on OpenML (version 1), shape of one flat row, images of the training part (they come first), of the test part
OPENML = {
    "fashion_mnist": ("Fashion-MNIST", (1, 28, 28), 60_000, 10_000),
    "mnist": ("mnist_784", (1, 28, 28), 60_000, 10_000),
    "cifar10": ("CIFAR_10", (3, 32, 32), 50_000, 10_000),
}


def fetch(name: str) -> Path:
    """Download one data set from OpenML and store it as <name>.npz in the data folder, where `load` finds it (ours).

    OpenML's md5 is checked by scikit-learn; the npz appears only when complete. A file that is there already is kept.
    OpenML lists the training part first. Takes a few minutes.

    Args:
        name: "fashion_mnist", "mnist" or "cifar10".

    Returns:
        The path of the npz.

    Raises:
        ValueError: a name that cannot be fetched, or what came is not the data set.
        FileNotFoundError: the download failed; nothing is written.

    >>> fetch("digits")
    Traceback (most recent call last):
    ValueError: data set 'digits' cannot be fetched; expected one of fashion_mnist, mnist, cifar10
    """
    if name not in OPENML:
        raise ValueError(f"data set {name!r} cannot be fetched; expected one of {', '.join(OPENML)}")
    from sklearn.datasets import fetch_openml
    published, shape, n_train, n_test = OPENML[name]
    home = paths.data_home()
    target = home / f"{name}.npz"
    if target.exists():
        return target
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=home) as folder:
        try:
            # one small integer type for all columns: a quarter of the memory, and scikit-learn 1.9 with pandas 3 cannot
            # read a class column of plain integers as a category
            bunch = fetch_openml(published, version=1, data_home=folder, as_frame=False, parser="pandas",
                                 read_csv_kwargs={"dtype": "int16"})
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise FileNotFoundError(f"could not fetch {published} from OpenML ({error}); try again later, or put its"
                                    f" files into {home} (data/README.md says which)") from error
        rows, images = np.asarray(bunch.data), np.asarray(bunch.data).astype(np.uint8)
        if rows.shape != (n_train + n_test, int(np.prod(shape))) or not np.array_equal(rows, images):
            raise ValueError(f"{published} from OpenML has shape {rows.shape}; expected {n_train + n_test} rows of"
                             f" {int(np.prod(shape))} integers 0..255; nothing was stored")
        packed = Path(folder) / "packed.npz"
        np.savez_compressed(packed, images=images.reshape(-1, *shape).transpose(0, 2, 3, 1),
                            labels=np.asarray(bunch.target).astype(np.int64), is_test=np.arange(len(rows)) >= n_train)
        os.replace(packed, target)
    return target
