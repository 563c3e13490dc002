"""DigitalOcean's and Vultr's lists of machines for trials, with a token, in pages, in the shape of their documentation:

https://docs.digitalocean.com/reference/api/digitalocean/#tag/Droplets/operation/droplets_list, GET /v2/droplets?tag_name=:
    {"droplets": [{"id": 3164444, "name": "example.com", "status": "active", "region": {"slug": "nyc3"}, "tags": ["awesome"],
      "networks": {"v4": [{"ip_address": "10.128.192.124", "netmask": "255.255.0.0", "gateway": "nil", "type": "private"}], "v6": []}}],
     "links": {"pages": {"next": "https://api.digitalocean.com/v2/droplets?page=2", "last": "…"}}, "meta": {"total": 3}}
    else {"id": "unauthorized", "message": "Unable to authenticate you"} with 401

https://www.vultr.com/api/#operation/list-instances, GET /v2/instances?tag=:
    {"instances": [{"id": "4f0f12e5-…", "main_ip": "192.0.2.123", "region": "atl", "status": "active", "power_status": "running",
      "v6_main_ip": "", "label": "Example Instance", "internal_ip": "", "tags": ["a tag"]}],
     "meta": {"total": 3, "links": {"next": "bmV4dF9fMTIzNDU2", "prev": ""}}}
    else {"error": "Invalid API token.", "status": 401} with 401

usage: tokens.py PORT TOKEN ADDRESS OTHER

The machine with that address is on the second page, behind the other one; below /hostile/ stands what no list is.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

port, token, address, other = int(sys.argv[1]), *sys.argv[2:5]
TAG = "managers"
HUGE = 8 * 1024 * 1024


def droplet(name, own, status="active", region="fra1"):
    private = {"ip_address": own, "netmask": "255.255.0.0", "gateway": "nil", "type": "private"}
    public = {"ip_address": "192.0.2.7", "netmask": "255.255.255.0", "gateway": "192.0.2.1", "type": "public"}
    place = {"name": "a region", "slug": region, "available": True}
    networks = {"v4": [public, private], "v6": []}
    return {"id": 3164444, "name": name, "status": status, "networks": networks, "region": place, "tags": [TAG]}


def instance(label, own, power="running", region="fra"):
    known = {"id": "4f0f12e5-1f84-404f-aa84-85f431ea5ec2", "main_ip": "192.0.2.7", "v6_main_ip": "", "tags": [TAG]}
    return {**known, "label": label, "internal_ip": own, "status": "active", "power_status": power, "region": region}


def droplets(query):
    if query.get("tag_name") != TAG:
        return {"droplets": [], "links": {}, "meta": {"total": 0}}
    first = [droplet("other", other), droplet("off", "192.0.2.10", status="off"), droplet("far", "192.0.2.11", region="nyc3")]
    if query.get("page") == "1":
        # A URL that leads to nobody: what is asked next must not be this.
        return {"droplets": first, "links": {"pages": {"next": "http://192.0.2.1/v2/droplets?page=2"}}, "meta": {"total": 4}}
    return {"droplets": [droplet("live", address), droplet("odd", "not-an-address")], "links": {}, "meta": {"total": 4}}


def instances(query):
    if query.get("tag") != TAG:
        return {"instances": [], "meta": {"total": 0, "links": {"next": "", "prev": ""}}}
    if "cursor" not in query:
        first = [instance("other", other), instance("off", "192.0.2.10", power="stopped"), instance("new", "")]
        return {"instances": first, "meta": {"total": 4, "links": {"next": "bmV4dA==", "prev": ""}}}
    assert query["cursor"] == "bmV4dA=="
    return {"instances": [instance("live", address)], "meta": {"total": 4, "links": {"next": "", "prev": "cHJldg=="}}}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        authorized = self.headers.get("Authorization") == f"Bearer {token}"
        lists = {"/v2/droplets": droplets, "/v2/instances": instances}
        if not authorized:
            self.answer(401, json.dumps({"id": "unauthorized", "message": "Unable to authenticate you"}))
        elif url.path in lists:
            self.answer(200, json.dumps(lists[url.path](query)))
        elif url.path.startswith("/hostile/huge/"):
            self.answer(200, '{"droplets": [' + " " * HUGE)
        elif url.path.startswith("/hostile/broken/"):
            self.answer(200, '{"droplets": [{"id": 3164444, "na')
        elif url.path.startswith("/hostile/types/"):
            self.answer(200, json.dumps({"droplets": token, "links": 7}))
        else:
            self.answer(404, "{}")

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = ThreadingHTTPServer(("0.0.0.0", port), Handler)
print("ready", flush=True)
server.serve_forever()
