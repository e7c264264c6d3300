"""Who may do what: the roles and bindings that are stored, read as the real server's RBAC authorizer does."""

import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from kubevip.emulator.resources import BY_PLURAL, Resource
from kubevip.emulator.store import Store

MASTERS, AUTHENTICATED, UNAUTHENTICATED = "system:masters", "system:authenticated", "system:unauthenticated"
_PREFIX = "system:serviceaccount:"
_KINDS = ("clusterroles", "clusterrolebindings", "roles", "rolebindings")
_ROLES = {"ClusterRole": BY_PLURAL["clusterroles"], "Role": BY_PLURAL["roles"]}
_PUBLIC = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
_DISCOVERY = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", *_PUBLIC]


@attrs.frozen
class User:
    """Whom a request comes from. A ServiceAccount's user is in the groups of ServiceAccounts by its name."""

    name: str
    groups: tuple[str, ...] = ()

    @classmethod
    def service_account(cls, namespace: str, name: str) -> "User":
        """The user that a ServiceAccount's token stands for."""
        return cls(f"{_PREFIX}{namespace}:{name}")

    @property
    def all_groups(self) -> tuple[str, ...]:
        """The groups with those that follow from the name."""
        if self.name == "system:anonymous":
            return (UNAUTHENTICATED,)
        found = [*self.groups, AUTHENTICATED]
        if self.name.startswith(_PREFIX):
            namespace = self.name.removeprefix(_PREFIX).partition(":")[0]
            found += ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
        return tuple(found)


ANONYMOUS = User("system:anonymous")


@attrs.frozen(kw_only=True)
class Action:
    """What a request wants to do: a verb on a resource, or on a *path* that is none."""

    verb: str
    resource: str = ""
    """The plural, with ``/status`` or another subresource after it."""
    group: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    def refusal(self, user: User) -> str:
        """The sentence that the real server refuses it with."""
        if self.path:
            return f'User "{user.name}" cannot {self.verb} path "{self.path}"'
        where = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        subject = f'resource "{self.resource}" in API group "{self.group}"'
        return f'User "{user.name}" cannot {self.verb} {subject} {where}'


@attrs.define(eq=False)
class Authorizer:
    """Decides from what is in *store*; what it has found out is kept until a role or binding changes."""

    store: Store
    _rules: dict[User, list[tuple[str, Mapping[str, Any]]]] = attrs.field(factory=dict, init=False)
    """Namespace (empty: everywhere) and rule, by user."""

    def __attrs_post_init__(self) -> None:
        for plural in _KINDS:
            self.store.shelf(BY_PLURAL[plural]).listeners.add(self._rules.clear)

    def allows(self, user: User, action: Action) -> bool:
        """Whether one of the rules that are bound to the user, or to one of its groups, allows it."""
        if MASTERS in user.groups:
            return True
        if user not in self._rules:
            self._rules[user] = list(self._bound_to(user))
        return any(
            namespace in ("", action.namespace) and _covers(rule, action) for namespace, rule in self._rules[user]
        )

    def _bound_to(self, user: User) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for plural in ("clusterrolebindings", "rolebindings"):
            for binding in self.store.view(BY_PLURAL[plural]).walk():
                namespace = binding.key[0]
                if any(_is_subject(subject, user, namespace) for subject in binding.value.get("subjects", ())):
                    role = binding.value["roleRef"]
                    yield from ((namespace, rule) for rule in self._role_rules(role, namespace))

    def _role_rules(self, role: Mapping[str, str], namespace: str) -> Iterable[Mapping[str, Any]]:
        resource = _ROLES[role["kind"]]
        found = self.store.get(resource, (namespace if resource.namespaced else "", role["name"]))
        return (found.value.get("rules") or ()) if found else ()


def _is_subject(subject: Mapping[str, str], user: User, namespace: str) -> bool:
    kind, name = subject["kind"], subject["name"]
    if kind == "ServiceAccount":
        return user.name == f"{_PREFIX}{subject.get('namespace') or namespace}:{name}"
    return name in user.all_groups if kind == "Group" else kind == "User" and name == user.name


def _covers(rule: Mapping[str, Any], action: Action) -> bool:
    if not {"*", action.verb} & set(rule["verbs"]):
        return False
    if action.path:
        return any(fnmatch.fnmatchcase(action.path, pattern) for pattern in rule.get("nonResourceURLs", ()))
    resources = {"*", action.resource, "*/" + action.resource.partition("/")[2]}
    return (
        bool({"*", action.group} & set(rule.get("apiGroups", ())))
        and bool(resources & set(rule.get("resources", ())))
        and (not rule.get("resourceNames") or action.name in rule["resourceNames"])
    )


def bootstrap_objects() -> Iterator[tuple[Resource, dict[str, Any]]]:
    """The roles and bindings that every cluster has and that concern what is served here."""
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    reviews = {
        "apiGroups": ["authorization.k8s.io", "authentication.k8s.io"],
        "resources": ["selfsubjectaccessreviews", "selfsubjectreviews"],
        "verbs": ["create"],
    }
    all_paths = {"nonResourceURLs": ["*"], "verbs": ["*"]}
    return (
        made
        for name, subjects, rules in (
            ("cluster-admin", [MASTERS], [everything, all_paths]),
            ("system:discovery", [AUTHENTICATED], [{"nonResourceURLs": _DISCOVERY, "verbs": ["get"]}]),
            ("system:basic-user", [AUTHENTICATED], [reviews]),
            (
                "system:public-info-viewer",
                [AUTHENTICATED, UNAUTHENTICATED],
                [{"nonResourceURLs": _PUBLIC, "verbs": ["get"]}],
            ),
        )
        for made in _role_and_binding(name, subjects, rules)
    )


def _role_and_binding(name: str, groups: list[str], rules: list[Any]) -> Iterator[tuple[Resource, dict[str, Any]]]:
    group = BY_PLURAL["clusterroles"].group
    yield BY_PLURAL["clusterroles"], {"metadata": {"name": name}, "rules": rules}
    yield (
        BY_PLURAL["clusterrolebindings"],
        {
            "metadata": {"name": name},
            "subjects": [{"kind": "Group", "apiGroup": group, "name": subject} for subject in groups],
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        },
    )
