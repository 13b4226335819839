#!/bin/sh
# Asks whether the process answers; whether it can take work is /readyz, which is for load balancers: a
# full disk is no reason to restart it. It finds the server by CALOTYPE_LISTEN; it does not know flags.
listen=${CALOTYPE_LISTEN:-127.0.0.1:8080}
socket=
case $listen in
unix:*) socket=${listen#unix:} listen=localhost ;;
0.0.0.0:*) listen=127.0.0.1:${listen##*:} ;;
"[::]:"*) listen="[::1]:${listen##*:}" ;;
esac
status=$(curl --silent --show-error --globoff --noproxy '*' --max-time 4 --output /dev/null \
	--write-out '%{http_code}' ${socket:+--unix-socket "$socket"} \
	"http://$listen/livez")
[ "$status" = 200 ] && exit 0
echo "$listen: HTTP status $status instead of 200"
exit 1
