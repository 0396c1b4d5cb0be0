# The comparison at full size, on one GPU: grids in the order of their worth. What has ended is saved cell by cell, so
# whatever time allows is a prefix, and the same command goes on. Arguments go to every grid. From the folder above hfkd/:
#   bash hfkd/study/full_size.sh
#   bash hfkd/study/full_size.sh --seeds 0,1 --set device=cpu --set rounds=1 --set pool_size=4000 --set minimum=3 \
#     --set public_size=200 --set balanced_size=200
# The second is the rehearsal, on a CPU. CIFAR-10 is taken where cifar10.npz is in data/raw or HFKD_DATA.
set -eu

grid() { # a name, where its rows go, then options
  name=$1 out=runs/paper/$2.csv
  shift 2
  echo "grid $name to $out"
  "${PYTHON:-python3}" -m hfkd.cli grid "$name" --profile paper --out "$out" "$@"
}

grid cnn full_size --seeds 0-9 "$@"
grid cnn full_size_100_clients --seeds 0-9 --set clients=100 "$@"
if [ -e "${HFKD_DATA:-data/raw}/cifar10.npz" ]; then
  grid cnn full_size_cifar10 --seeds 0-4 --set dataset=cifar10 "$@"
fi
grid 10 full_size_matching --set clients=100 "$@"
