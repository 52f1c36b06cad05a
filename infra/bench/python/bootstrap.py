"""The smallest Lambda function in Python that could do the product's work.

It imports boto3, makes one client of Secrets Manager, and speaks the Lambda
Runtime API by itself.
"""

import json
import os
from http.client import HTTPConnection

import boto3

secrets = boto3.client("secretsmanager")
runtime = HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
PREFIX = "/2018-06-01/runtime/invocation/"


def handle(event):
    if not event.get("list"):
        return 0
    return len(secrets.list_secrets()["SecretList"])


while True:
    runtime.request("GET", PREFIX + "next")
    reply = runtime.getresponse()
    request = reply.headers["Lambda-Runtime-Aws-Request-Id"]
    answer = handle(json.loads(reply.read()))
    runtime.request("POST", PREFIX + request + "/response", json.dumps(answer))
    runtime.getresponse().read()
