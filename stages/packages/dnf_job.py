"""Runs dnf's command line for the parts org.osbuild.dnf.solve and .apply.

The one argument is a JSON file, the job:

  args     the command line that dnf is given
  path     directories of Python modules that come before all others
  repos    ids of the repositories, in the order of the options
  result   a file; with it dnf only decides, and what it decides goes there
  expect   the packages that have been downloaded; dnf must want just these
  reasons  why some of them are installed, as was decided
  keys     public keys to be known to the system's rpm: their packets in
           base64, their name, and what to warn of if rpm does not take them
  forget   variables of the environment that scriptlets must not see
  home     what they see as HOME
  words    the command as the system's history is to have it
  epoch    the time, in seconds, at which it says that it happened
  rpmdb    rpm's databases, in SQLite, of which one may be there
  history  dnf's own
"""
import base64
import json
import os
import struct
import sys
import time

with open(sys.argv[1], encoding="utf-8") as f:
    job = json.load(f)
sys.path[:0] = job.get("path") or []

import rpm  # noqa: E402  # pylint: disable=wrong-import-position

# librpm reads its configuration and its policy now, while the environment
# leads to them.
rpm.reloadConfig()

import dnf  # noqa: E402
import dnf.cli.cli  # noqa: E402
import dnf.cli.main  # noqa: E402
import dnf.comps  # noqa: E402
import dnf.db.history  # noqa: E402
import dnf.exceptions  # noqa: E402
import dnf.transaction  # noqa: E402
import libdnf.transaction  # noqa: E402

# Where nothing is installed, libsolv reads rpm's configuration once more, and
# with another home it would not find the database.
if not job.get("result"):
    for name in job.get("forget") or []:
        os.environ.pop(name, None)
    if job.get("home"):
        os.environ["HOME"] = job["home"]

# Where distributions have rpm's database.
DATABASES = ("/usr/lib/sysimage/rpm", "/var/lib/rpm")


def nevra(pkg):
    return "%s-%s:%s-%s.%s" % (pkg.name, pkg.epoch, pkg.version, pkg.release, pkg.arch)


def reason(item):
    name = libdnf.transaction.TransactionItemReasonToString(item.reason)
    return name if name in ("user", "group", "dependency", "weak-dependency") else ""


def describe(base, item):
    pkg = item.pkg
    if pkg.repoid not in job["repos"]:
        raise dnf.exceptions.Error("%s is in none of the repositories" % pkg)
    kind, digest = pkg.returnIdSum() or ("", "")
    if kind not in ("sha256", "sha384", "sha512"):
        raise dnf.exceptions.Error(
            "%s: repository %s lists the package with a checksum of kind %s, and sha256, sha384 or sha512 is needed" % (pkg, pkg.repoid, kind or "none"))
    out = {
        "name": pkg.name, "epoch": int(pkg.epoch), "version": pkg.version, "release": pkg.release, "arch": pkg.arch,
        "repository": job["repos"].index(pkg.repoid), "location": pkg.location, "size": pkg.downloadsize,
        "sha256": digest if kind == "sha256" else "", "reason": reason(item),
    }
    if kind != "sha256":
        out["checksum"] = kind + ":" + digest
    if pkg.baseurl:
        out["base"] = pkg.baseurl
    return out


def database(base, chosen):
    """Returns where the distribution's own rpm has its database.

    The package "rpm" owns the directory; of the chosen ones, if it is there.
    """
    rpms = base.sack.query().available().filter(name="rpm")
    for query in (rpms.filter(pkg=chosen), rpms):
        for path in DATABASES:
            if query.filter(file=path):
                return path
    return ""


class Job:
    """What has become of the job."""

    met = False


def decide(base, _packages, *_args, **_kwargs):
    """Stands for the download of packages: notes what would be downloaded."""
    items = [i for i in base.transaction if i.action in dnf.transaction.FORWARD_ACTIONS]
    out = {
        "packages": [describe(base, i) for i in items],
        "database": database(base, [i.pkg for i in items]),
    }
    with open(job["result"], "w", encoding="utf-8") as f:
        json.dump(out, f)


def compare(base, packages, *_args, **_kwargs):
    """Stands for the download of packages, which is done.

    It makes sure that what is installed is what was decided and verified:
    dnf's own look at the checksums would only read all files once more.
    """
    want, have = set(job["expect"]), {nevra(p) for p in packages}
    if want != have:
        raise dnf.exceptions.Error(
            "with the downloaded packages alone dnf decides differently: it leaves out [%s] and wants [%s]"
            % (" ".join(sorted(want - have)), " ".join(sorted(have - want))))
    for pkg in packages:
        if not os.path.exists(pkg.localPkg()):
            raise dnf.exceptions.Error("%s is not where the repository has it" % pkg)
    settle_reasons(base)
    Job.met = True
    base.args = job["words"]


def settle_reasons(base):
    """Gives packages the reasons that they had when it was decided.

    In the metadata of these packages alone, libsolv may come to one of them by
    another way: to one that a recommended package needs, and another one
    recommends as well, by the recommendation.
    """
    for item in base.transaction:
        name = (job.get("reasons") or {}).get(nevra(item.pkg))
        if name and item.action in dnf.transaction.FORWARD_ACTIONS:
            item.reason = libdnf.transaction.StringToTransactionItemReason(name)


def import_keys(base, _packages):
    """Takes the place of dnf's check of signatures, which is done already.

    Like it, it makes the keys known to the rpm of the system.
    """
    for key in job.get("keys") or []:
        if base._ts.pgpImportPubkey(base64.b64decode(key["packets"])) == 0:
            continue
        if not key.get("lacking"):
            raise dnf.exceptions.Error("the build root's rpm does not take the public key %s, which signs packages" % key["name"])
        print(key["lacking"], file=sys.stderr)


def close(path):
    """Brings what stands in the journal of a database into the database.

    One that is in use by nobody is left without its journal by that.
    """
    if not os.path.exists(path + "-wal"):
        return
    import sqlite3

    db = sqlite3.connect(path)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    db.close()


FILE_STATES, CHARS, NET_SHARED = 1029, 1, 3


def settled(header):
    """Returns a header of rpm's database without the mark of shared files.

    rpm was told that what is mounted in a step (/proc, /sys, /dev, /run) is
    shared with others, and has noted that. In the system that is built it is
    not so. A header that has no such mark gives None.
    """
    entries, size = struct.unpack(">II", header[:8])
    start = 8 + 16 * entries
    if len(header) < start + size:
        return None
    for i in range(entries):
        tag, kind, offset, count = struct.unpack(">iiii", header[8 + 16 * i:24 + 16 * i])
        if tag == FILE_STATES and kind == CHARS and 0 <= offset <= size - count:
            states = header[start + offset:start + offset + count]
            if NET_SHARED in states:
                states = states.replace(bytes([NET_SHARED]), bytes([0]))
                return header[:start + offset] + states + header[start + offset + count:]
    return None


def settle(path):
    if not os.path.exists(path):
        return
    import sqlite3

    db = sqlite3.connect(path)
    changed = []
    for number, header in db.execute("SELECT hnum, blob FROM Packages"):
        new = settled(header)
        if new is not None:
            changed.append((new, number))
    db.executemany("UPDATE Packages SET blob = ? WHERE hnum = ?", changed)
    db.commit()
    db.close()


def mend_groups():
    """Makes groups work with a libcomps whose iterators end in a crash.

    Where an expression iterates over its lists (Python 3.13, libcomps 0.1.21),
    the process dies; list() of them is fine.
    """
    comps, forwarder = dnf.comps.Comps, dnf.comps.Forwarder
    comps.categories_iter = lambda self: (self._build_category(c) for c in list(self._i.categories))
    comps.environments_iter = lambda self: (self._build_environment(e) for e in list(self._i.environments))
    comps.groups_iter = lambda self: (self._build_group(g) for g in list(self._i.groups))
    get = forwarder.__getattr__

    def copied(self, name):
        value = get(self, name)
        return list(value) if name in ("packages", "group_ids", "option_ids") else value

    forwarder.__getattr__ = copied


class Clock:
    """Stands for the module time where dnf writes its history."""

    def __getattr__(self, name):
        return getattr(time, name)

    def time(self):
        return job["epoch"]

    def gmtime(self):
        return time.gmtime(job["epoch"])


dnf.db.history.time = Clock()
# Other words for commands are those of whoever uses the system. dnf would make
# the directory for them, too. No scriptlet is to see the variable for this.
try:
    import dnf.cli.aliases

    dnf.cli.aliases.Aliases._disabled_by_environ = lambda self: True
except ImportError:
    pass  # an older dnf has none
mend_groups()
cli = dnf.cli.cli.BaseCli
if job.get("result"):
    cli.download_packages = decide
    cli.gpgsigcheck = lambda base, packages: None
else:
    cli.download_packages = compare
    cli.gpgsigcheck = import_keys

code = dnf.cli.main.user_main(job["args"])
if not job.get("result"):
    for each in job.get("rpmdb") or []:
        settle(each)
        close(each)
    close(job["history"])
    if code == 0 and job["expect"] and not Job.met:
        print("Error: with the downloaded packages alone dnf finds nothing to do", file=sys.stderr)
        code = 1
sys.exit(code)
