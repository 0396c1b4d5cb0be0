"""The two apps of Flower: a messenger beside every member, the relay beside the SuperLink; made when asked for."""

import json
from pathlib import Path

from hfkd import paths
from hfkd.deploy import wire

__all__ = ["messenger", "relay"]  # names in app/pyproject.toml


def __getattr__(name):
    if name not in __all__:
        raise AttributeError(f"hfkd.deploy.apps has no {name!r}")
    from flwr import app as flower
    from flwr import clientapp, serverapp
    app = clientapp.ClientApp() if name == "messenger" else serverapp.ServerApp()
    def content(record):
        return flower.RecordDict({"hfkd": flower.ConfigRecord({"record": record})})

    def carry(message, context):
        """A record to the member behind the unix socket of its node, and the answer back: no data, no torch."""
        try:
            said = wire.call(context.node_config["socket"], message.content["hfkd"]["record"])
        except (OSError, ValueError, KeyError) as error:
            said = wire.pack({"error": f"no member answers ({error})"})
        return flower.Message(content(said), reply_to=message)

    def run(grid, context):
        """The plan that the run names; beside it come to lie relay.log, the journal, and at the end facts.json."""
        from hfkd.deploy.relay import Relay
        path = Path(context.run_config["plan"])

        def post(records):
            messages = [flower.Message(content(record), node, "query") for node, record in records.items()]
            replies = grid.send_and_receive(messages, timeout=plan.get("timeout", 600))
            return {each.metadata.src_node_id: str(each.error.reason) if each.has_error() else
                    each.content["hfkd"]["record"] for each in replies}  # fmt: skip

        with open(path.parent / "relay.log", "a", encoding="utf-8", buffering=1) as log:
            try:
                plan = dict(json.loads(path.read_text("utf-8")))
                relay = Relay(plan, path.parent, grid.get_node_ids, post, lambda line: print(line, file=log))
                paths.write(path.parent / "facts.json", json.dumps(relay.run()))
                print("the federation has ended", file=log)
            except Exception as error:
                print(f"the federation has failed: {error}", file=log)
                raise

    app.query()(carry) if name == "messenger" else app.main()(run)
    return app
