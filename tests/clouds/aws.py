"""AWS for trials, as moto has it: EC2, which checks signatures and rights, and the service on a machine's link (IMDSv2 only).

usage: aws.py LIBRARIES PORT ADDRESS:TAG[:stopped]...

Each instance has that private address, and TAG for the value of its tag 'role'. The machine's own role may describe instances
and nothing else. What it says when it is ready names a key that may nothing.
"""

import json
import sys
import threading

sys.path.insert(0, sys.argv[1])

import boto3  # noqa: E402
from moto import settings  # noqa: E402
from moto.core.authorization import ActionAuthenticatorMixin  # noqa: E402
from moto.ec2.models import ec2_backends  # noqa: E402
from moto.server import DomainDispatcherApplication, create_backend_app  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402

ACCOUNT, REGION, TOKEN = "123456789012", "eu-central-1", "a-session-of-imdsv2"
port = int(sys.argv[2])
metadata = {}


def with_metadata(app):
    """The paths of the documentation; what shows no session's token gets nothing, as where IMDSv1 is off."""

    def serve(environ, start):
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if not path.startswith("/latest/"):
            return app(environ, start)
        answer = metadata.get(path)
        if path == "/latest/api/token":
            asked = method == "PUT" and environ.get("HTTP_X_AWS_EC2_METADATA_TOKEN_TTL_SECONDS", "").isdigit()
            status, body = ("200 OK", TOKEN) if asked else ("400 Bad Request", "")
        elif environ.get("HTTP_X_AWS_EC2_METADATA_TOKEN") != TOKEN:
            status, body = "401 Unauthorized", ""
        else:
            status, body = ("404 Not Found", "") if answer is None else ("200 OK", answer)
        start(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body.encode()]

    return serve


server = make_server("0.0.0.0", port, with_metadata(DomainDispatcherApplication(create_backend_app)))
threading.Thread(target=server.serve_forever, daemon=True).start()


def client(service):
    known = {"aws_access_key_id": "setup", "aws_secret_access_key": "setup", "region_name": REGION}
    return boto3.client(service, endpoint_url=f"http://127.0.0.1:{port}", **known)


ec2, iam = client("ec2"), client("iam")
instances = [word.split(":") for word in sys.argv[3:]]
for address, tag, *rest in instances:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "role", "Value": tag}]}]
    made = ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1, TagSpecifications=tags)["Instances"][0]
    # AWS keeps the first addresses of a network for itself; hosts of the lab have them.
    ec2_backends[ACCOUNT][REGION].get_instance(made["InstanceId"]).nics[0].private_ip_address = address
    if rest == ["stopped"]:
        ec2.stop_instances(InstanceIds=[made["InstanceId"]])

trust = json.dumps({"Version": "2012-10-17", "Statement": []})
rights = {"Effect": "Allow", "Action": "ec2:DescribeInstances", "Resource": "*"}
policy = json.dumps({"Version": "2012-10-17", "Statement": [rights]})
role = iam.create_role(RoleName="manager", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
iam.put_role_policy(RoleName="manager", PolicyName="discover", PolicyDocument=policy)
session = client("sts").assume_role(RoleArn=role, RoleSessionName="i-1")["Credentials"]
iam.create_user(UserName="nobody")
poor = iam.create_access_key(UserName="nobody")["AccessKey"]
place = "/latest/meta-data/"
metadata[place + "placement/region"] = REGION
metadata[place + "iam/security-credentials/"] = "manager"
metadata[place + "iam/security-credentials/manager"] = json.dumps(
    {
        "Code": "Success",
        "LastUpdated": "2026-01-01T00:00:00Z",
        "Type": "AWS-HMAC",
        "AccessKeyId": session["AccessKeyId"],
        "SecretAccessKey": session["SecretAccessKey"],
        "Token": session["SessionToken"],
        "Expiration": session["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
)
# From now on it asks who calls, as EC2 does.
settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
ActionAuthenticatorMixin.request_count = 0
secrets = {"key": poor["AccessKeyId"], "secret": poor["SecretAccessKey"], "session": session["SessionToken"]}
print(json.dumps({"ready": secrets}), flush=True)
threading.Event().wait()
