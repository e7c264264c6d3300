"""The documentation page of all settings, made from the table. ``python -m kubevip.config.docs`` prints it."""

import sys
from collections.abc import Iterator

from kubevip.config.setting import NoEffect, NotYet, Setting, Support
from kubevip.config.table import TABLE, Group

_INTRODUCTION = """\
# Settings

This page is made from the table of settings in `kubevip/config`; `python -m kubevip.config.docs` prints it.

Every setting has a name for the environment. Most have a flag too, and all may stand in the file that
`config_file` or `--config-file` names. The environment beats flags, flags beat the file, the file beats
defaults.

- An empty value means "not set", except where the table says otherwise.
- Booleans are `true` or `false`; `1 t T TRUE True 0 f F FALSE False` are read too. As a flag, a boolean
  stands alone or is written `--arp=false`.
- Names are case-sensitive in the environment, not in the file. There, the names of the environment and
  kube-vip's own keys work, as in `EnableARP: true`.
- A wrong value stops the start before anything is touched, with exit code 2. All problems are told at once.
- **Supported**: yes; *no effect*: accepted, with a warning that says why; *not yet*: refused as long as it
  asks for something that isn't there, and accepted with its default or while its feature is off.
- **Since** is the release of kube-vip that knew the name first, or "kubevip" for what only kubevip has.
"""

_DIFFERENCES = """\
## What differs from kube-vip

- All problems are told at once, each with the variable, its value and what would be right, and the exit code
  is 2. kube-vip stops at the first one, in older releases with exit code 0.
- The control plane's address may be given as `vip_address` without `vip_subnet`: the prefix is derived.
- One value in `vip_subnet` up to 32 is for IPv4 only, and IPv6 gets 128. kube-vip gives both the same.
- A value in the config file beats a default. In kube-vip it can't where the flag has a default.
- `config_file` in the environment works.
- `prometheus_server=off` switches the metrics off. In kube-vip only an empty flag does.
- `vip_nodename` is lower-cased, as newer releases of kube-vip do.
- `vip_leaderelection` changes nothing in ARP mode, as in kube-vip; set to false it gets a warning.
- Lease times have to be right at the start. kube-vip panics when the first election begins. The Lease has
  to last 3 seconds or more, because the kernel counts the lifetime of an address in whole seconds.
- Two modes at once are refused, as in newer releases of kube-vip.
- `vip_preserve_on_leadership_loss` does nothing: an address that outlives its Lease may be held twice. In a
  planned handover the old holder keeps answering until its successor does, at most `vip_linger` seconds.
- An unknown name that looks like one of these gets a warning with the nearest known name.
- The first kubeconfig that exists counts: `KUBECONFIG`, `k8s_config_file`, `/etc/kubernetes/admin.conf`,
  `~/.kube/config`, and then the Pod's ServiceAccount. kube-vip doesn't know `KUBECONFIG`.
- With `cp_enable`, the server in `/etc/kubernetes/admin.conf` is replaced by `kubernetes:<port>` only where
  the name `kubernetes` resolves; `kubernetes_addr` replaces it always.
"""


def page() -> str:
    """Return the whole page, as Markdown."""
    return "\n".join([_INTRODUCTION, *(_section(group) for group in TABLE), _DIFFERENCES])


def _section(group: Group) -> str:
    return "\n".join([f"## {group.title}", "", group.about, "", *_table(group), ""])


def _table(group: Group) -> Iterator[str]:
    yield "| Name | Flag | Key of kube-vip | Type | Default | Supported | Since | Meaning |"
    yield "|---|---|---|---|---|---|---|---|"
    for setting in group.settings:
        yield f"| {' | '.join(_cell(part) for part in _row(setting))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _row(setting: Setting) -> tuple[str, ...]:
    names = [alias.env for alias in setting.names if alias.env]
    flags = [flag for alias in setting.names for flag in alias.flags]
    keys = [key for alias in setting.names for key in alias.keys]
    return (
        _codes(names),
        _codes(flags),
        _codes(keys),
        setting.form.name,
        _default(setting),
        _support(setting.support),
        setting.since,
        _meaning(setting),
    )


def _codes(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _default(setting: Setting) -> str:
    if setting.default_text:
        return setting.default_text
    return f"`{setting.default_shown}`" if setting.default_shown else ""


def _support(support: Support) -> str:
    if isinstance(support, NotYet):
        return "not yet"
    return "no effect" if isinstance(support, NoEffect) else "yes"


def _meaning(setting: Setting) -> str:
    parts = [setting.help]
    if isinstance(setting.support, NoEffect) and setting.support.why != setting.help:
        parts.append(f"({setting.support.why})")
    if setting.needs:
        parts.append(f"(needs {_codes(list(setting.needs))})")
    return " ".join(parts)


if __name__ == "__main__":
    sys.stdout.write(page())
