/*
 * Tells the service manager how far the server is: sd_notify(3), the one datagram of it that is
 * needed. Without NOTIFY_SOCKET in the environment there is nobody to tell. Any thread.
 */
#ifndef CT_NOTIFY_H
#define CT_NOTIFY_H

/*
 * `state` is "READY=1" or "STOPPING=1". 0 also when nobody asked; -errno when the manager could not
 * be told, which then takes the start for a failed one.
 */
int ct_notify(const char *state);

#endif
