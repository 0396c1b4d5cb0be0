"""The two apps of Flower: a messenger beside every member, the relay beside the SuperLink; made when asked for (ours)."""

import json
from pathlib import Path

from hfkd import paths
from hfkd.deploy import wire

__all__ = ["messenger", "relay"]  # names in app/pyproject.toml


def __getattr__(name):
    if name not in __all__:
        raise AttributeError(f"hfkd.deploy.apps has no {name!r}")
    return {"messenger": _messenger, "relay": _relay}[name]()


def _messenger():
    """Passes a record to the member behind the unix socket of its node, and the answer back: no data, no torch."""
    from flwr.app import ConfigRecord, Message, RecordDict
    from flwr.clientapp import ClientApp
    app = ClientApp()

    @app.query()
    def carry(message, context):
        try:
            said = wire.call(context.node_config["socket"], message.content["hfkd"]["record"])
        except (OSError, ValueError, KeyError) as error:
            said = wire.pack({"error": f"no member answers ({error})"})
        return Message(RecordDict({"hfkd": ConfigRecord({"record": said})}), reply_to=message)
    return app


def _relay():
    """Runs the plan that the run names; beside it lie relay.log, the journal, and at the end facts.json."""
    from flwr.app import ConfigRecord, Message, RecordDict
    from flwr.serverapp import ServerApp
    from hfkd.deploy.relay import Relay
    app = ServerApp()

    @app.main()
    def main(grid, context):
        path = Path(context.run_config["plan"])

        def post(records):
            replies = grid.send_and_receive([
                Message(RecordDict({"hfkd": ConfigRecord({"record": record})}), node, "query")
                for node, record in records.items()], timeout=plan.get("timeout", 600))  # fmt: skip
            return {reply.metadata.src_node_id: str(reply.error.reason) if reply.has_error() else
                    reply.content["hfkd"]["record"] for reply in replies}  # fmt: skip

        with open(path.parent / "relay.log", "a", encoding="utf-8") as log:
            try:
                plan = dict(json.loads(path.read_text("utf-8")))
                relay = Relay(plan, path.parent, grid.get_node_ids, post, lambda line: print(line, file=log, flush=True))
                paths.write(path.parent / "facts.json", json.dumps(relay.run()))
                print("the federation has ended", file=log, flush=True)
            except Exception as error:
                print(f"the federation has failed: {error}", file=log, flush=True)
                raise
    return app
