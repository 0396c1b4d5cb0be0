# All programs of a federation on one machine, in the folder that `hfkd federate` has filled; ADMIN.md says what each of
# them is on several. Arguments: a free port for the SuperLink, then one for each machine-N. All of them, and
# what they start, have FLWR_HOME of this folder in their environment, by which they are ended.
set -eu
export FLWR_HOME="${FLWR_HOME:-$PWD/flwr}" FLWR_TELEMETRY_ENABLED=0 FLWR_DISABLE_UPDATE_CHECK=1 OMP_NUM_THREADS=1
link=127.0.0.1:$1

again() { # a program, anew whenever it ends
  while :; do
    "$@" || sleep 2
  done
}

mkdir -p flwr
echo "the SuperLink starts; then a key of each machine is registered: seconds each" >>relay.log
cat >flwr/config.toml <<end
[superlink]
default = "here"
[superlink.here]
address = "$link"
root-certificates = "$PWD/ca.pem"
end
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
    flwr supernode register "$machine/node.pub" here
    touch "$machine/registered"
  fi
  echo "$machine has a key that the SuperLink knows" >>relay.log
  again flower-supernode --superlink "$link" --root-certificates ca.pem --auth-supernode-private-key "$machine/node" \
    --port "$1" --node-config "socket=\"$PWD/$machine/socket\"" >>"$machine/supernode.log" 2>&1 &
done
echo "the relay starts: it waits until all have come" >>relay.log
flwr run app here -c "plan=\"$PWD/plan.json\""
wait "$superlink" # nothing goes on without it
