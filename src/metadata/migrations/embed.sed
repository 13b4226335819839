# Turns a migration into C string literals, one a line.
s/\\/\\\\/g
s/"/\\"/g
s/^/"/
s/$/\\n"/
