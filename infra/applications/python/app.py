"""An application that calls Databricks all the time, until it is interrupted.

It ends with one line of JSON: how many calls were made and how many failed.
"""

import argparse
import datetime
import json
import signal
import sys
import threading

import boto3
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import Unauthenticated

from managed_secret import ManagedSecret


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--secret", required=True)
    parser.add_argument("--check-every", type=float, default=300.0, help="seconds")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between two calls")
    args = parser.parse_args()

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    secret = ManagedSecret(boto3.client("secretsmanager"), args.secret, args.check_every)
    workspace = WorkspaceClient(credentials_strategy=secret, host=secret.host())
    result = {"calls": 0, "failures": 0, "first_failure": ""}
    while not stop.is_set():
        result["calls"] += 1
        try:
            try:
                me = workspace.current_user.me()
            except Unauthenticated:  # the access token was ended with its credential
                secret.refresh()
                me = workspace.current_user.me()
            if not me.id:
                raise RuntimeError("nobody is known by that token")
        except Exception as error:
            result["failures"] += 1
            if result["failures"] == 1:
                result["first_failure"] = datetime.datetime.now(datetime.timezone.utc).isoformat()
                print(f"call failed: {error}", file=sys.stderr)
        stop.wait(args.pause)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
