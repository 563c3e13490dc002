"""What AWS tells a machine about its end, in the shape of its documentation:

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
    GET /latest/meta-data/spot/instance-action: 404, or {"action": "terminate", "time": "2017-09-18T08:22:00Z"}
https://docs.aws.amazon.com/autoscaling/ec2/userguide/retrieving-target-lifecycle-state-through-imds.html
    GET /latest/meta-data/autoscaling/target-lifecycle-state: InService, or Terminated
Both want the token that PUT /latest/api/token gives (IMDSv2).

usage: notices.py PORT FILE

There is a notice once FILE is there: what is in it is 'spot' or 'scaling'.
"""

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, file = int(sys.argv[1]), sys.argv[2]
TOKEN = "a-token"


class Service(BaseHTTPRequestHandler):
    def reply(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_PUT(self):
        lives = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        self.reply(200 if self.path == "/latest/api/token" and lives else 400, TOKEN)

    def do_GET(self):
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            return self.reply(401, "")
        notice = open(file).read().strip() if os.path.exists(file) else ""
        if self.path == "/latest/meta-data/spot/instance-action" and notice == "spot":
            return self.reply(200, '{"action": "terminate", "time": "2017-09-18T08:22:00Z"}')
        if self.path == "/latest/meta-data/autoscaling/target-lifecycle-state":
            return self.reply(200, "Terminated" if notice == "scaling" else "InService")
        return self.reply(404, "")

    def log_message(self, *words):
        pass


server = ThreadingHTTPServer(("127.0.0.1", port), Service)
print("ready", flush=True)
server.serve_forever()
