"""The download, against a small stand-in for OpenML on loopback; scikit-learn's own client does the asking."""

import hashlib
import http.server
import json
import threading
import urllib.parse
import urllib.request

import numpy as np
import pytest

from hfkd import download, paths
from hfkd.data import fetch, load


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty data folder and no known checksum."""
    monkeypatch.setenv("HFKD_DATA", str(tmp_path / "raw"))
    monkeypatch.setattr(paths, "CHECKSUMS", tmp_path / "checksums.sha256")
    return tmp_path / "raw"


def answer(path, columns, rows, names):
    """What OpenML says at this path, in the few words that scikit-learn reads."""
    table = "@relation x\n" + "".join(f"@attribute {name} {kind}\n" for name, kind in zip(names, columns))
    arff = (table + "@data\n" + "\n".join(",".join(map(str, row)) for row in rows) + "\n").encode()
    if "download" in path:
        return arff
    if "/list/" in path:
        return json.dumps({"data": {"dataset": [{"did": 1, "version": 1, "status": "active"}]}}).encode()
    if "/features/" in path:
        feature = [{"index": str(i), "name": name, "data_type": "nominal" if kind[0] == "{" else "numeric",
                    "nominal_value": list("01"), "is_target": str(name == "class").lower(), "is_ignore": "false",
                    "is_row_identifier": "false", "number_of_missing_values": "0"}
                   for i, (name, kind) in enumerate(zip(names, columns))]
        return json.dumps({"data_features": {"feature": feature}}).encode()
    if "/qualities/" in path:
        return json.dumps({"data_qualities": {"quality": [{"name": "NumberOfInstances", "value": len(rows)}]}}).encode()
    about = {"id": "1", "name": "x", "version": "1", "format": "ARFF", "status": "active", "file_id": "1",
             "description": "x", "url": "http://localhost/data/v1/download/1/x.arff",
             "md5_checksum": hashlib.md5(arff).hexdigest()}
    return json.dumps({"data_set_description": about}).encode()


@pytest.fixture
def openml(home, monkeypatch):
    """A stand-in for OpenML on loopback: 6 + 4 images of 2x3 and one label each; `asked` collects the paths."""
    rng = np.random.default_rng(0)
    images, labels, asked, broken = rng.integers(0, 256, (10, 6)), np.arange(10) % 2, [], []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(404 if broken else 200)
            self.end_headers()
            columns, names = ["numeric"] * 6 + ["{0,1}"], [f"pixel{i}" for i in range(6)] + ["class"]
            self.wfile.write(b"" if broken else answer(self.path, columns, np.column_stack([images, labels]), names))

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": .01})
    thread.start()
    from sklearn.datasets import _openml

    def loopback(request, *args, **kwargs):  # every host becomes the stand-in: nothing can leave the machine
        path = urllib.parse.urlparse(request.full_url).path
        return urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}{path}", *args, **kwargs)
    monkeypatch.setattr(_openml, "urlopen", loopback)
    monkeypatch.setattr(_openml.time, "sleep", lambda _: None)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setitem(download.OPENML, "fashion_mnist", ("Fashion-MNIST", (1, 2, 3), 6, 4))
    yield images, labels, asked, broken
    server.shutdown()
    server.server_close()
    thread.join()


def test_fetch_then_load(home, openml):
    images, labels, asked, _ = openml
    path = fetch("fashion_mnist")
    assert path == home / "fashion_mnist.npz" and [file.name for file in home.iterdir()] == ["fashion_mnist.npz"]
    assert any("fashion-mnist" in path and path.endswith("data_version/1") for path in asked)
    fashion = load("fashion_mnist")
    assert np.array_equal(fashion.images.reshape(10, 6), images) and fashion.images.shape == (10, 1, 2, 3)
    assert np.array_equal(fashion.labels, labels) and fashion.is_test.tolist() == [False] * 6 + [True] * 4
    before = len(asked)
    assert fetch("fashion_mnist") == path and len(asked) == before  # what is there is kept


def test_fetch_of_colour_images_keeps_the_planes(home, openml, monkeypatch):
    monkeypatch.setitem(download.OPENML, "cifar10", ("CIFAR_10", (3, 1, 2), 6, 4))
    fetch("cifar10")
    assert np.array_equal(load("cifar10").images.reshape(10, 6), openml[0])  # red, green, blue as in a flat row


@pytest.mark.filterwarnings("ignore:A network error occurred")  # scikit-learn's, at each of its retries
def test_fetch_that_fails_writes_nothing(home, openml, monkeypatch):
    openml[3].append("broken")
    with pytest.raises(FileNotFoundError, match="could not fetch Fashion-MNIST from OpenML .*404"):
        fetch("fashion_mnist")
    openml[3].clear()
    monkeypatch.setitem(download.OPENML, "fashion_mnist", ("Fashion-MNIST", (1, 2, 3), 60, 4))
    with pytest.raises(ValueError, match=r"has shape \(10, 6\); expected 64 rows of 6 integers"):
        fetch("fashion_mnist")
    assert list(home.iterdir()) == []
