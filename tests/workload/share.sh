#!/bin/sh
# Takes a share: one line, with the miner's name.
echo "$QUERY_STRING" >>/shares
printf 'Content-Type: text/plain\r\n\r\n'
