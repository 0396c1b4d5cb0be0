# All programs of a federation on one machine, in the folder that `hfkd federate` has filled, until the relay ends;
# ADMIN.md says what each of them is on several. Arguments: a free port for the SuperLink, then one for each machine-N.
set -eu
export FLWR_HOME="$PWD/flwr" FLWR_TELEMETRY_ENABLED=0 FLWR_DISABLE_UPDATE_CHECK=1 OMP_NUM_THREADS=1
link=127.0.0.1:$1

again() { # a program, anew whenever it ends
  while :; do
    "$@" || sleep 2
  done
}

left() ( # what Flower has started apart from this shell is found by FLWR_HOME in its environment
  mark=FLWR_HOME=$FLWR_HOME
  unset FLWR_HOME # not these two themselves
  grep -lszxF "$mark" /proc/[0-9]*/environ | cut -d / -f 3
)

end() { # all of this shell's group, and 3 seconds later what is left
  trap '' TERM
  kill 0
  sleep 3
  while pids=$(left) && [ "$pids" ]; do
    kill -s KILL $pids || sleep 1
  done
}
trap end EXIT
trap 'exit 1' TERM

mkdir -p flwr
cat >flwr/config.toml <<toml
[superlink]
default = "here"
[superlink.here]
address = "$link"
root-certificates = "$PWD/ca.pem"
toml
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -noenc -keyout server.key -out ca.pem -subj /CN=hfkd \
  -addext subjectAltName=IP:127.0.0.1
echo "the SuperLink starts; then a key of each machine is registered: seconds each"
flower-superlink --host 127.0.0.1 --port "$1" --ssl-ca-certfile ca.pem --ssl-certfile ca.pem --ssl-keyfile server.key \
  --database superlink.db --enable-supernode-auth --disable-runtime-dependency-installation >>superlink.log 2>&1 &
superlink=$!
for machine in machine-*; do
  again hfkd member $(cat "$machine/options") --public public.npz --folder "$machine" >>"$machine/member.log" 2>&1 &
done
until python -c 'import socket, sys; socket.create_connection(("127.0.0.1", sys.argv[1]))' "$1" 2>/dev/null; do
  kill -0 "$superlink" # or this is the end
  sleep 1
done
for machine in machine-*; do
  shift
  if ! [ -e "$machine/registered" ]; then
    rm -f "$machine/node"
    ssh-keygen -q -t ecdsa -b 384 -N '' -f "$machine/node"
    flwr supernode register "$machine/node.pub" here >&2
    touch "$machine/registered"
  fi
  echo "$machine has a key that the SuperLink knows"
  again flower-supernode --superlink "$link" --root-certificates ca.pem --auth-supernode-private-key "$machine/node" \
    --port "$1" --node-config "socket=\"$PWD/$machine/socket\"" >>"$machine/supernode.log" 2>&1 &
done
echo "the relay starts: it waits until all have come"
: >relay.log
tail -n +1 -f relay.log &
flwr run app here --stream -c "plan=\"$PWD/plan.json\"" >&2 &
wait $!
sleep 1 # for the last line
