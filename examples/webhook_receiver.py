"""Receives webhooks of Caret and verifies both signatures.

    CARET_WEBHOOK_SECRET=whsec_… python examples/webhook_receiver.py [PORT]

During a rotation, separate the two secrets with a comma. Needs nothing but Python.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRETS = os.environ["CARET_WEBHOOK_SECRET"].split(",")
TOLERANCE = 300  # seconds by which the clocks may differ
MAX_BODY_BYTES = 16 * 1024 * 1024
SEEN = set()  # keep these in a database in production


def signed(headers, body):
    """Whether one of our secrets signed the body within the last TOLERANCE seconds."""
    sent_at = headers.get("webhook-timestamp", "")
    if not sent_at.isascii() or not sent_at.isdigit() or abs(time.time() - int(sent_at)) > TOLERANCE:
        return False
    content = f"{headers.get('webhook-id', '')}.{sent_at}.".encode() + body
    signatures = headers.get("webhook-signature", "").split(" ")
    if not any(same(standard(secret, content), each) for secret in SECRETS for each in signatures):
        return False
    # More than one signature: the secret was just replaced, and X-Caret-Signature is by the new one alone.
    plain = headers.get("X-Caret-Signature", "")
    return len(signatures) > 1 or any(same(hexadecimal(secret, body), plain) for secret in SECRETS)


def standard(secret, content):
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


def hexadecimal(secret, body):
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def same(ours, theirs):
    return hmac.compare_digest(ours.encode(), theirs.encode())


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        if length > MAX_BODY_BYTES:
            self.close_connection = True
            return self.answer(413)
        body = self.rfile.read(length)
        if not signed(self.headers, body):
            return self.answer(401)
        event = json.loads(body)
        # The same event may arrive twice, with the same id.
        if event["eventId"] not in SEEN:
            SEEN.add(event["eventId"])
            print(event["type"], event["eventId"], flush=True)
        return self.answer(200)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    server = ThreadingHTTPServer(("127.0.0.1", port), Receiver)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
