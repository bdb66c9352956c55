"""Runs a command on a terminal of its own, and records what the terminal gets, and when (asciicast, version 2).

usage: record.py FILE ROWS COLUMNS COMMAND...   Ends with the command's status.
"""
import codecs
import fcntl
import json
import os
import pty
import struct
import sys
import termios
import time


def main():
    rows, columns = int(sys.argv[2]), int(sys.argv[3])
    child, master = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.execvp(sys.argv[4], sys.argv[4:])
    began = time.monotonic()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    with open(sys.argv[1], "w", encoding="utf-8") as cast:
        print(json.dumps({"version": 2, "width": columns, "height": rows}), file=cast)
        while True:
            try:
                text = decoder.decode(os.read(master, 65536))
            except OSError:
                break
            print(json.dumps([round(time.monotonic() - began, 3), "o", text]), file=cast)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) % 256)


main()
