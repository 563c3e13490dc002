#!/bin/sh
# Hands a share to the queue each second, under this miner's name.
while :; do
    busybox timeout 2 busybox wget -q -O /dev/null "http://miner:$(cat /run/secrets/password)@tasks.queue/cgi-bin/share?$NAME"
    sleep 1
done
