"""Owns the measure of the client's own cost: answers every request at once and does nothing else."""

import os
import re

_ID = re.compile(rb'"id": ?(\d+)')


def main() -> None:
    """One request is in flight at a time, so a read that ends with its body holds exactly one message."""
    buffer = b""
    while data := os.read(0, 65536):
        buffer += data
        head, separator, body = buffer.partition(b"\r\n\r\n")
        if separator and len(body) >= int(head.rpartition(b":")[2]):
            found = _ID.search(buffer)
            buffer = b""
            if found:
                answer = b'{"jsonrpc":"2.0","id":%s,"result":null}' % found[1]
                os.write(1, b"Content-Length: %d\r\n\r\n%s" % (len(answer), answer))


if __name__ == "__main__":
    main()
