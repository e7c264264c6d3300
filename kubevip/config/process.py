"""The settings of the process: which API server it talks to, what it serves, how it logs."""

from pathlib import Path

import attrs

from kubevip.config import parse as form
from kubevip.config import parse_network as net
from kubevip.config.setting import Origin, setting


@attrs.frozen(kw_only=True)
class Kubernetes:
    """Which API server, with which credentials."""

    config_file: Path | None = setting(
        env="k8s_config_file",
        flags=("--k8sConfigPath",),
        keys=("K8sConfigFile",),
        form=form.PATH,
        default_text="/etc/kubernetes/admin.conf, if it is there",
        since="0.7.0",
        help="kubeconfig to use; in a generated manifest: the node's file to mount",
    )
    address: str | None = setting(
        env="kubernetes_addr",
        keys=("KubernetesAddr",),
        form=net.SERVER,
        default_text="kubernetes:port with cp_enable, else the file's own",
        since="0.8.0",
        help="API server to use with /etc/kubernetes/admin.conf",
    )


@attrs.frozen(kw_only=True)
class Serving:
    """What the agent serves over HTTP about itself."""

    prometheus: net.Listen | None = setting(
        env="prometheus_server",
        flags=("--prometheusHTTPServer", "--promethuesHTTPServer"),
        keys=("PrometheusHTTPServer",),
        form=net.LISTEN,
        default=net.Listen(None, 2112),
        empty_counts=frozenset({Origin.FLAG}),
        since="0.5.0",
        help="where /metrics listens; off: nowhere (an empty flag says the same)",
    )
    health_check_port: int | None = setting(
        env="health_check_port",
        flags=("--healthCheckPort",),
        keys=("HealthCheckPort",),
        form=form.OPTIONAL_PORT,
        default_text="0 (off)",
        since="0.8.10",
        help="port of /healthz, 1024 or higher; 0: none",
    )


@attrs.frozen(kw_only=True)
class Logging:
    """What is logged, and in which form."""

    level: int = setting(
        env="vip_loglevel",
        flags=("--log",),
        keys=("Logging",),
        form=form.INTEGER,
        default=0,
        since="0.1.5",
        help="-4 debug, 0 info, 4 warnings, 8 errors",
    )
    format: str = setting(
        env="log_format",
        flags=("--log-format",),
        form=form.choice("auto", "text", "json"),
        default="auto",
        since="kubevip",
        help="form of the log lines; auto: text on a terminal, else JSON",
    )
