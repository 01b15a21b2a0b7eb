"""Sends a known set with a Python SDK: send.py segment|rudder SET_FILE.

Both SDKs have the same calls. Prints one line per event, {"n", "messageId"}; ends with 1 and the reasons when anything was
refused or given up.
"""

import importlib
import json
import sys
from datetime import datetime

MODULES = {"segment": "segment.analytics.client", "rudder": "rudderstack.analytics.client"}
# What each call takes, in our words and in the SDK's.
ARGUMENTS = {
    "userId": "user_id",
    "anonymousId": "anonymous_id",
    "groupId": "group_id",
    "previousId": "previous_id",
    "messageId": "message_id",
    "event": "event",
    "name": "name",
    "category": "category",
    "properties": "properties",
    "traits": "traits",
    "context": "context",
}


def main(sdk, file):
    with open(file, encoding="utf-8") as text:
        wanted = json.load(text)
    problems = []
    client = importlib.import_module(MODULES[sdk]).Client(
        wanted["key"],
        host=wanted["url"],
        on_error=lambda error, batch: problems.append(f"{len(batch)} events given up: {error!r}"),
        **wanted["options"],
    )
    for event in wanted["events"]:
        arguments = {ours: event[theirs] for theirs, ours in ARGUMENTS.items() if theirs in event}
        if "timestamp" in event:
            arguments["timestamp"] = datetime.fromisoformat(event["timestamp"])
        taken, message = getattr(client, event["call"])(**arguments)
        if not taken:
            problems.append(f"event {event['n']} was not taken")
        print(json.dumps({"n": event["n"], "messageId": message["messageId"]}))
    client.flush()
    client.join()
    if problems:
        sys.exit("\n".join(problems))


main(*sys.argv[1:])
