"""The two apps of Flower: a messenger beside every member, the relay beside the SuperLink; made when asked for (ours)."""

import json
from pathlib import Path

from hfkd import paths
from hfkd.deploy import wire

__all__ = ["messenger", "relay"]  # names in app/pyproject.toml


def __getattr__(name):
    if name not in __all__:
        raise AttributeError(f"hfkd.deploy.apps has no {name!r}")
    return _messenger() if name == "messenger" else _relay()


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
    """Runs the plan that the run names; progress goes to relay.log beside it, journal and end as well."""
    from flwr.app import ConfigRecord, Message, RecordDict
    from flwr.serverapp import ServerApp
    from hfkd.deploy import plan as plans
    from hfkd.deploy.relay import Relay
    app = ServerApp()

    @app.main()
    def main(grid, context):
        path = Path(context.run_config["plan"])
        told = plans.read(path)

        def post(records):
            messages = [Message(RecordDict({"hfkd": ConfigRecord({"record": record})}), node, "query")
                        for node, record in records.items()]  # fmt: skip
            replies = grid.send_and_receive(messages, timeout=told.get("timeout", 600))
            return {reply.metadata.src_node_id: str(reply.error.reason) if reply.has_error() else
                    reply.content["hfkd"]["record"] for reply in replies}  # fmt: skip

        with open(path.parent / "relay.log", "a", encoding="utf-8") as log:
            say = lambda line: print(line, file=log, flush=True)
            try:
                facts = Relay(told, path.parent, grid.get_node_ids, post, say).run()
                paths.write(path.parent / "facts.json", json.dumps(facts))
                say("the federation has ended")
            except ValueError as error:
                say(f"the federation has failed: {error}")
                raise

    return app
