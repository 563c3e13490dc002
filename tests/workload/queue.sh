#!/bin/sh
# Nobody gets at the queue without the password.
echo "/:miner:$(cat /run/secrets/password)" >/httpd.conf
exec httpd -f -h /www -c /httpd.conf
