"""Which files name what not every system has: macOS lacks some of it, Windows most."""

from __future__ import annotations

import ast
from collections.abc import Iterator


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Modules that Python has on some systems alone.
MODULES = _words(
    "fcntl resource termios tty pty pwd grp syslog readline curses posix nt msvcrt winreg winsound _winapi"
)
# Of these modules, the names that are not on Linux, macOS and Windows alike. (`os.kill` is: there it ends one.)
NAMES = {
    "os": _words(
        "fork forkpty kill killpg getuid geteuid getgid getegid getgroups setuid setgid setsid nice"
        " pread pwrite preadv pwritev readv writev sendfile copy_file_range posix_fadvise posix_fallocate posix_spawn"
        " sched_getaffinity sched_setaffinity sched_yield process_cpu_count sysconf sysconf_names statvfs fstatvfs sync"
        " fchmod fchown chown lchown lchmod chroot mkfifo mknod major minor uname getloadavg ctermid ttyname openpty"
        " login_tty wait wait3 wait4 waitid WIFEXITED WEXITSTATUS register_at_fork memfd_create eventfd pidfd_open"
        " getxattr setxattr listxattr removexattr startfile O_BINARY O_DIRECTORY O_NOFOLLOW O_CLOEXEC O_NONBLOCK O_SYNC"
        " O_DSYNC O_DIRECT O_TMPFILE O_PATH O_NOATIME"
    ),
    "signal": _words(
        "SIGHUP SIGKILL SIGALRM SIGUSR1 SIGUSR2 SIGCHLD SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGCONT SIGBREAK CTRL_C_EVENT"
        " CTRL_BREAK_EVENT alarm setitimer pause sigwait sigtimedwait sigpending pthread_kill pthread_sigmask"
        " pidfd_send_signal"
    ),
    "ctypes": _words("CDLL PyDLL WinDLL windll cdll OleDLL"),
    "socket": _words("AF_UNIX AF_NETLINK AF_PACKET socketpair SO_REUSEPORT SO_PEERCRED"),
    "time": _words("tzset clock_gettime CLOCK_BOOTTIME pthread_getcpuclockid"),
    "select": _words("poll epoll kqueue"),
    "mmap": _words("MAP_SHARED MAP_PRIVATE MAP_ANONYMOUS PROT_READ PROT_WRITE"),
    "errno": _words("EUCLEAN ENOMEDIUM EREMOTEIO ENOATTR ENOTCAPABLE EKEYEXPIRED EBADFD"),
}
START_METHODS = frozenset({"fork", "forkserver"})
OPEN_OTHERWISE = frozenset({"av", "tarfile", "zipfile", "gzip"})  # whose `open` has modes of its own


def platform_calls(tree: ast.Module) -> set[str]:
    """What a file names of these: `fcntl`, `os.pread`, `fork`; `from os import pread`, `getattr(os, "pread")`."""
    return set(_found(tree))


def _found(tree: ast.Module) -> Iterator[str]:
    known = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            if node.module in MODULES:
                yield node.module
            names = NAMES.get(node.module or "", frozenset())
            yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name in names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = known.get(node.value.id, "")
            if node.attr in NAMES.get(module, ()):
                yield f"{module}.{node.attr}"
        elif isinstance(node, ast.Call):
            yield from _by_name(node, known)


def _by_name(call: ast.Call, known: dict[str, str]) -> Iterator[str]:
    """`getattr(os, "pread")`, and a start method of multiprocessing that is given as text."""
    texts = [
        value.value
        for given in (*call.args, *(keyword.value for keyword in call.keywords))
        for value in ast.walk(given)
        if isinstance(value, ast.Constant) and isinstance(value.value, str)
    ]
    called = ast.unparse(call.func).rpartition(".")[2]
    if called in ("getattr", "hasattr") and isinstance(call.args[0], ast.Name):
        module = known.get(call.args[0].id, "")
        yield from (f"{module}.{text}" for text in texts if text in NAMES.get(module, ()))
    if called in ("get_context", "set_start_method"):
        yield from (text for text in texts if text in START_METHODS)


def texts_without_encoding(tree: ast.Module) -> list[int]:
    """Lines that read or write text in the encoding of whoever's system it is: not UTF-8 on Windows."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(keyword.arg in ("encoding", None) for keyword in node.keywords):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
        least = {"read_text": 1, "write_text": 2}.get(name)
        is_method = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) not in OPEN_OTHERWISE
        if least is not None and is_method and len(node.args) < least:
            found.append(node.lineno)
        modes = [given.value for given in node.args if isinstance(given, ast.Constant) and isinstance(given.value, str)]
        if name == "open" and (is_method or len(node.args) == 1) and any(set(mode) <= set("rwax+t") for mode in modes):
            found.append(node.lineno)
        if ast.unparse(node.func) in ("open", "io.open") and (len(node.args) < 2 or "b" not in (modes or [""])[-1]):
            found.append(node.lineno)
    return sorted(set(found))
