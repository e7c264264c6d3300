"""The settings of Services and of elections."""

import attrs

from kubevip.config import parse as form
from kubevip.config.setting import NotYet, Origin, setting
from kubevip.vocabulary import ZONE_PATTERN, ZONE_RIGHT

_EVERYWHERE = frozenset(Origin)
_ZONE = form.matching("zone", ZONE_PATTERN, ZONE_RIGHT)


@attrs.frozen(kw_only=True)
class Services:
    """The addresses of Services of type LoadBalancer."""

    enable: bool = setting(
        env="svc_enable",
        flags=("--services",),
        keys=("EnableServices",),
        form=form.BOOLEAN,
        default=False,
        since="0.3.0",
        help="keep the addresses of LoadBalancer Services",
    )
    namespace: str | None = setting(
        env="svc_namespace",
        keys=("ServiceNamespace",),
        form=form.NAMESPACE,
        default_text="all namespaces",
        needs=("svc_enable",),
        gate="svc_enable",
        since="0.5.5",
        help="watch Services of this namespace only",
    )
    lease_name: str = setting(
        env="svc_leasename",
        flags=("--servicesLeaseName",),
        keys=("ServicesLeaseName",),
        form=form.LEASE_NAME,
        default="plndr-svcs-lock",
        needs=("svc_enable",),
        gate="svc_enable",
        since="0.6.3",
        help="the one Lease of all Services: name, or namespace/name",
    )
    election: bool = setting(
        env="svc_election",
        flags=("--servicesElection",),
        keys=("EnableServicesElection",),
        form=form.BOOLEAN,
        default=False,
        needs=("svc_enable",),
        gate="svc_enable",
        since="0.5.0",
        help="elect a holder for each Service, so that several nodes share the work",
    )
    election_on_demand: bool = setting(
        env="per_service_election_on_demand",
        flags=("--perServiceElectionOnDemand",),
        form=form.BOOLEAN,
        default=False,
        needs=("svc_enable",),
        since="1.2.2",
        help="elect a holder for each Service that is annotated with kube-vip.io/forcePerServiceElection=true",
    )
    placement: str = setting(
        env="svc_placement",
        flags=("--servicesPlacement",),
        form=form.choice("together", "spread"),
        default="together",
        needs=("svc_enable",),
        since="kubevip",
        help="together: one node has the addresses of all Services; spread: all nodes share them (ARP mode)",
    )
    weight: float = setting(
        env="svc_weight",
        flags=("--servicesWeight",),
        form=form.WEIGHT,
        default=1.0,
        needs=("svc_enable",),
        since="kubevip",
        help="how much of the Services this node takes, against others (svc_placement=spread)",
    )
    zone: str = setting(
        env="svc_zone",
        flags=("--servicesZone",),
        form=_ZONE,
        default="",
        needs=("svc_enable",),
        since="kubevip",
        help="zone that this node is in: Services of a group go to different ones (svc_placement=spread)",
    )
    class_only: bool = setting(
        env="lb_class_only",
        flags=("--lbClassOnly",),
        keys=("LoadBalancerClassOnly",),
        form=form.BOOLEAN,
        default=False,
        needs=("svc_enable",),
        gate="svc_enable",
        since="0.5.5",
        help="ignore Services without a loadBalancerClass",
    )
    class_name: str = setting(
        env="lb_class_name",
        flags=("--lbClassName",),
        keys=("LoadBalancerClassName",),
        form=form.TEXT,
        default="kube-vip.io/kube-vip-class",
        needs=("svc_enable",),
        gate="svc_enable",
        empty_counts=_EVERYWHERE,
        since="0.6.0",
        help="the loadBalancerClass to serve; set but empty: none",
    )
    class_legacy_handling: bool = setting(
        env="lb_class_legacy_handling",
        flags=("--lbClassNameLegacyHandling",),
        keys=("LoadBalancerClassLegacyHandling",),
        form=form.BOOLEAN,
        default=True,
        needs=("svc_enable",),
        gate="svc_enable",
        since="0.8.1",
        help="serve Services without a class too; false: the class must equal lb_class_name",
    )
    disable_updates: bool = setting(
        env="disable_service_updates",
        flags=("--disableServiceUpdates",),
        keys=("DisableServiceUpdates",),
        form=form.BOOLEAN,
        default=False,
        needs=("svc_enable",),
        since="0.7.0",
        help="never write a Service's status and annotations",
    )
    enable_endpoints: bool = setting(
        env="enable_endpoints",
        flags=("--enableEndpoints",),
        keys=("EnableEndpoints",),
        form=form.BOOLEAN,
        default=False,
        since="1.0.0",
        help="read Endpoints, not EndpointSlices",
        needs=("svc_enable",),
    )
    security: bool = setting(
        env="enable_service_security",
        flags=("--onlyAllowTrafficServicePorts",),
        keys=("EnableServiceSecurity",),
        form=form.BOOLEAN,
        default=False,
        needs=("svc_enable",),
        since="0.6.0",
        support=NotYet("dropping traffic to other ports than a Service's", "use a NetworkPolicy or a firewall"),
        help="drop traffic to a Service's address except to its ports",
    )


@attrs.frozen(kw_only=True)
class Election:
    """How soon another node takes over, and how often a holder proves that it is alive."""

    enabled: bool = setting(
        env="vip_leaderelection",
        flags=("--leaderElection",),
        keys=("EnableLeaderElection",),
        form=form.BOOLEAN,
        default=False,
        since="0.1.6",
        help="elect a holder in the modes that can do without; ARP mode always elects",
    )
    duration: float = setting(
        env="vip_leaseduration",
        flags=("--leaseDuration",),
        keys=("LeaseDuration",),
        form=form.SECONDS,
        default=15.0,
        since="0.1.8",
        help="seconds without renewal after which others may take a Lease, at least 3",
    )
    renew_deadline: float = setting(
        env="vip_renewdeadline",
        flags=("--leaseRenewDuration",),
        keys=("RenewDeadline",),
        form=form.SECONDS,
        default=10.0,
        since="0.1.8",
        help="seconds without a successful renewal after which a holder gives up",
    )
    retry_period: float = setting(
        env="vip_retryperiod",
        flags=("--leaseRetry",),
        keys=("RetryPeriod",),
        form=form.SECONDS,
        default=2.0,
        since="0.1.8",
        help="seconds between renewals, and between tries to take a Lease",
    )
    failover: str = setting(
        env="vip_failover",
        flags=("--failover",),
        form=form.choice("off", "fast"),
        default="off",
        since="kubevip",
        help="fast: candidates send heartbeats, and take the Lease of a holder that is gone before it expires",
    )
    heartbeat: float = setting(
        env="vip_heartbeat",
        flags=("--heartbeat",),
        form=form.HEARTBEAT,
        default=0.1,
        since="kubevip",
        help="milliseconds between heartbeats, from 10 to 1000 (vip_failover=fast)",
    )
    on_api_loss: str = setting(
        env="vip_on_api_loss",
        flags=("--onApiLoss",),
        form=form.choice("fence", "hold", "quorum"),
        default="fence",
        since="kubevip",
        help="what a holder does that can't renew: let go; go on while nobody else has the address; or go on while a"
        " majority of nodes says that the API server is away (needs vip_failover=fast)",
    )
    linger: float = setting(
        env="vip_linger",
        flags=("--linger",),
        form=form.short_seconds(60),
        default=3.0,
        since="kubevip",
        help="seconds that a departing holder keeps answering for a successor that it has not seen; a node that stops"
        " in spread mode hands over for as long as that gets on within so many seconds, 20 at most; 0: not at all",
    )
