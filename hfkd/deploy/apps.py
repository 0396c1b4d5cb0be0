"""The two apps of Flower: a messenger beside every member, the relay beside the SuperLink; only Flower imports this."""

import json
from pathlib import Path

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

from hfkd import paths
from hfkd.deploy import wire

messenger = ClientApp()  # names in app/pyproject.toml, for which Flower searches the text
relay = ServerApp()


def content(record: bytes) -> RecordDict:
    """A record as Flower carries it."""
    return RecordDict({"hfkd": ConfigRecord({"record": record})})


@messenger.query()
def carry(message, context):
    """A record to the member behind the unix socket of its node, and the answer back: no data, no torch."""
    answer = wire.call(context.node_config["socket"], message.content["hfkd"]["record"])
    return Message(content(answer), reply_to=message)


@relay.main()
def run(grid, context):
    """The plan that the run names; beside it come to lie relay.log, the journal, and at the end facts.json."""
    from hfkd.deploy.relay import Relay  # brings torch
    path = Path(context.run_config["plan"])

    def post(records):
        messages = [Message(content(record), node, "query") for node, record in records.items()]
        replies = grid.send_and_receive(messages, timeout=plan.get("timeout", 600))
        return {each.metadata.src_node_id: str(each.error.reason) if each.has_error() else
                each.content.get("hfkd", {}).get("record", "no record came") for each in replies}  # fmt: skip

    with open(path.parent / "relay.log", "a", encoding="utf-8", buffering=1) as log:
        try:
            plan = dict(json.loads(path.read_text("utf-8")))
            facts = Relay(plan, path.parent, grid.get_node_ids, post, lambda line: print(line, file=log)).run()
            paths.write(path.parent / "facts.json", json.dumps(facts))
            print("the federation has ended", file=log)
        except Exception as error:
            print(f"the federation has failed: {error}", file=log)
            raise
