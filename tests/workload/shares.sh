#!/bin/sh
# Who has handed shares in since this queue began.
printf 'Content-Type: text/plain\r\n\r\n'
busybox sort -u /shares
