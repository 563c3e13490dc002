#!/bin/sh
# The miners, as the queue knows them.
printf 'Content-Type: text/plain\r\n\r\n'
busybox timeout 2 busybox wget -q -O - "http://miner:$(cat /run/secrets/password)@tasks.queue/cgi-bin/shares"
