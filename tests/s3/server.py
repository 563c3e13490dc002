"""An S3 server for trials: moto's, one request at a time, so that its conditions hold as those of a real store do.

usage: server.py LIBRARIES ADDRESS PORT [careless]

A careless one ignores If-None-Match and If-Match in silence, as some stores do. It has one bucket: managers.
"""

import sys

sys.path.insert(0, sys.argv[1])

from moto.s3.models import s3_backends  # noqa: E402
from moto.server import DomainDispatcherApplication, create_backend_app  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402

CONDITIONS = ["HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH"]


def careless(app):
    def serve(environ, start):
        for condition in CONDITIONS:
            environ.pop(condition, None)
        return app(environ, start)

    return serve


address, port = sys.argv[2], int(sys.argv[3])
app = DomainDispatcherApplication(create_backend_app)
server = make_server(address, port, careless(app) if "careless" in sys.argv else app)

s3_backends["123456789012"]["aws"].create_bucket("managers", "us-east-1")
print("ready", flush=True)
server.serve_forever()
