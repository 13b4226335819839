#!/bin/sh
# Asks for an image that cannot be there. That needs no key, and only a server that has looked into
# its database says 404. It finds the server by CALOTYPE_LISTEN; it does not know flags.
listen=${CALOTYPE_LISTEN:-127.0.0.1:8080}
socket=
case $listen in
unix:*) socket=${listen#unix:} listen=localhost ;;
0.0.0.0:*) listen=127.0.0.1:${listen##*:} ;;
"[::]:"*) listen="[::1]:${listen##*:}" ;;
esac
status=$(curl --silent --show-error --globoff --noproxy '*' --max-time 4 --output /dev/null \
	--write-out '%{http_code}' ${socket:+--unix-socket "$socket"} \
	"http://$listen/i/00000000000000000000000000000000")
[ "$status" = 404 ] && exit 0
echo "$listen: HTTP status $status instead of 404"
exit 1
