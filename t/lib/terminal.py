"""Runs a command on a terminal of its own, as its session's leader would.

usage: terminal.py COMMAND...   Lines on stdin: "type TEXT" (with \\x03 and the like), "size ROWS COLUMNS",
"close" (the terminal is gone). What the terminal gets goes to stdout. Ends with the command's status.
"""
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios


def main():
    child, master = pty.fork()
    if child == 0:
        os.execvp(sys.argv[1], sys.argv[1:])
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGKILL))
    text = b""
    listening = [0, master]
    while True:
        ready, _, _ = select.select(listening, [], [], 0.05)
        if master in ready:
            try:
                bytes_ = os.read(master, 65536)
            except OSError:
                bytes_ = b""
            if bytes_:
                os.write(1, bytes_)
            else:
                listening.remove(master)
        if 0 in ready:
            bytes_ = os.read(0, 65536)
            if not bytes_:
                listening.remove(0)
            text += bytes_
            *lines, text = text.split(b"\n")
            for line in lines:
                verb, _, rest = line.partition(b" ")
                if verb == b"type":
                    os.write(master, rest.decode("unicode_escape").encode("latin-1"))
                elif verb == b"size":
                    rows, columns = map(int, rest.split())
                    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
                elif verb == b"close":
                    if master in listening:
                        listening.remove(master)
                    os.close(master)
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if master in listening:
                while select.select([master], [], [], 0)[0]:
                    try:
                        os.write(1, os.read(master, 65536))
                    except OSError:
                        break
            sys.exit(os.waitstatus_to_exitcode(status) % 256)


main()
