#!/bin/sh
# The page: a title, which is a config, and a line for each miner, from the API.
printf 'Content-Type: text/html\r\n\r\n'
echo "<h1>$(cat /title)</h1>"
busybox timeout 2 busybox wget -q -O - http://tasks.api/cgi-bin/miners | while read -r miner; do echo "<li>$miner</li>"; done
