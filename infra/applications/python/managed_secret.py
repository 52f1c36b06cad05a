"""The credentials of a managed secret, for the Databricks SDK for Python.

    secret = ManagedSecret(boto3.client("secretsmanager"), "prod/etl/databricks")
    workspace = WorkspaceClient(credentials_strategy=secret, host=secret.host())

The secret is read again at a use when it was read more than check_every
seconds ago, and at once when Databricks refuses the credential. It is in the
layout "env"; for another, change KEYS.
"""

import json
import threading
import time

from databricks.sdk.credentials_provider import CredentialsStrategy
from databricks.sdk.oauth import ClientCredentials

KEYS = {
    "host": "DATABRICKS_HOST",
    "account_id": "DATABRICKS_ACCOUNT_ID",
    "client_id": "DATABRICKS_CLIENT_ID",
    "client_secret": "DATABRICKS_CLIENT_SECRET",
    "scopes": "ROTATION_SCOPES",
}


class ManagedSecret(CredentialsStrategy):
    def __init__(self, secrets_manager, secret_id, check_every=300.0):
        self._secrets_manager = secrets_manager
        self._secret_id = secret_id
        self._check_every = check_every
        self._lock = threading.Lock()  # so that one thread reads and the others wait for it
        self._version = None
        self._value = None
        self._tokens = {}
        self._next = 0.0

    def auth_type(self):
        return "aws-secrets-manager"

    def host(self):
        with self._lock:
            self._check()
            return self._value["host"]

    def __call__(self, cfg):
        host = cfg.host

        def headers():
            with self._lock:
                self._check()
                try:
                    token = self._source(host).token()
                except ValueError:  # the SDK's word for a refusal by the token endpoint
                    refused = self._version
                    self._read()
                    if self._version == refused:
                        raise
                    token = self._source(host).token()
                return {"Authorization": f"Bearer {token.access_token}"}

        return headers

    def refresh(self):
        """Look now: for a call that was refused though its token is young."""
        with self._lock:
            self._read()

    def _check(self):
        if time.monotonic() < self._next:
            return
        try:
            self._read()
        except Exception:
            if self._value is None:
                raise
            self._next = time.monotonic() + min(30.0, self._check_every)  # go on with what is held

    def _read(self):
        reply = self._secrets_manager.get_secret_value(SecretId=self._secret_id, VersionStage="AWSCURRENT")
        if reply["VersionId"] != self._version:
            document = json.loads(reply["SecretString"])
            self._value = {part: document.get(key, "") for part, key in KEYS.items()}
            self._version = reply["VersionId"]
            self._tokens = {}
        self._next = time.monotonic() + self._check_every

    def _source(self, host):
        if host not in self._tokens:
            value = self._value
            path = f"/oidc/accounts/{value['account_id']}/v1/token" if value["account_id"] and host == value["host"] else "/oidc/v1/token"
            self._tokens[host] = ClientCredentials(
                client_id=value["client_id"],
                client_secret=value["client_secret"],
                token_url=host + path,
                scopes=value["scopes"] or "all-apis",
                use_header=True,
            )
        return self._tokens[host]
