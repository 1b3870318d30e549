"""Filters of system calls (seccomp) that the process gives itself, as what runs programs gives them. On x86-64."""
import ctypes
import errno

KILL = 0x80000000
ALLOW = 0x7FFF0000

CLONE = 56
SOCKET = 41
PERSONALITY = 135
CLONE3 = 435
FACCESSAT2 = 439
URETPROBE = 335

# Instructions (linux/bpf_common.h).
LOAD, JUMP_ABOVE, JUMP_NOT_BELOW, JUMP_EQUAL, JUMP_BITS, GIVE = 0x20, 0x25, 0x35, 0x15, 0x45, 0x06
# Where the number is in `struct seccomp_data`, and the lower half of the first argument.
NUMBER, ARGUMENT = 0, 16


def refuse(number):
    return 0x00050000 | number


class Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint)]


class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.POINTER(Instruction))]


def install(program):
    instructions = (Instruction * len(program))(*program)
    wanted = Program(len(program), instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges, set_seccomp, filter_mode = 38, 22, 2
    assert libc.prctl(no_new_privileges, 1, 0, 0, 0) == 0
    assert libc.prctl(set_seccomp, filter_mode, ctypes.byref(wanted), 0, 0) == 0


def strict(action):
    """Knows no system call newer than 334 but two: neither uretprobe nor uprobe. `action` is for the others."""
    newest_old = 334
    install(
        [
            (LOAD, 0, 0, NUMBER),
            (JUMP_ABOVE, 0, 3, newest_old),
            (JUMP_EQUAL, 2, 0, CLONE3),
            (JUMP_EQUAL, 1, 0, FACCESSAT2),
            (GIVE, 0, 0, action),
            (GIVE, 0, 0, ALLOW),
        ]
    )


# What docker's default profile allows a container with docker's default capabilities, on Linux 4.8 and newer: the numbers of these
# system calls, from and to (github.com/moby/profiles/seccomp v0.2.3, default.json; arch/x86/entry/syscalls/syscall_64.tbl, v6.18).
# It has uretprobe (335) since 2025, and not uprobe (336).
DOCKER = [
    (0, 40), (42, 55), (57, 102), (104, 133), (137, 138), (140, 152), (154, 154), (157, 162), (186, 211), (213, 226), (228, 235),
    (240, 245), (247, 247), (251, 255), (257, 271), (273, 278), (280, 297), (299, 299), (301, 303), (305, 307), (309, 311), (314, 319),
    (322, 322), (324, 335), (424, 424), (434, 434), (436, 437), (439, 439), (441, 441), (444, 449), (451, 458), (462, 466),
]  # fmt: skip


def when(number, checks, otherwise):
    """For that system call, what its first argument decides: jumps, to what follows them to allow it and over it to refuse it."""
    checks = [(LOAD, 0, 0, ARGUMENT)] + checks + [(GIVE, 0, 0, ALLOW), (GIVE, 0, 0, otherwise)]
    return [(JUMP_EQUAL, 0, len(checks), number)] + checks


def docker(*without):
    """As docker's default profile; `without`: numbers that older ones did not have."""
    refused = refuse(errno.EPERM)
    program = [(LOAD, 0, 0, NUMBER)]
    for number in without:
        program += [(JUMP_EQUAL, 0, 1, number), (GIVE, 0, 0, refused)]
    # All families but AF_ALG and AF_VSOCK.
    program += when(SOCKET, [(JUMP_EQUAL, 2, 0, 38), (JUMP_EQUAL, 1, 0, 40)], refused)
    # No namespace.
    program += when(CLONE, [(JUMP_BITS, 1, 0, 0x7E020000)], refused)
    program += when(
        PERSONALITY,
        [
            (JUMP_EQUAL, 4, 0, 0),
            (JUMP_EQUAL, 3, 0, 8),
            (JUMP_EQUAL, 2, 0, 0x20000),
            (JUMP_EQUAL, 1, 0, 0x20008),
            (JUMP_EQUAL, 0, 1, 0xFFFFFFFF),
        ],
        refused,
    )
    # The C library then does by clone what it wanted.
    program += [(JUMP_EQUAL, 0, 1, CLONE3), (GIVE, 0, 0, refuse(errno.ENOSYS))]
    for first, last in DOCKER:
        program += [(JUMP_NOT_BELOW, 1, 0, first), (GIVE, 0, 0, refused), (JUMP_ABOVE, 1, 0, last), (GIVE, 0, 0, ALLOW)]
    install(program + [(GIVE, 0, 0, refused)])
