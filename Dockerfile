# Runs `manager`, as kube-vip's image does; /kube-vip-cloud-provider is the provider. Build it with: docker build --tag kubevip:0.1.0 .
FROM python:3.13-slim AS build
COPY . /source
# A copy of the interpreter, not a link: it gets capabilities of its own.
RUN python -m venv --copies /kubevip && /kubevip/bin/pip install --no-cache-dir /source

FROM python:3.13-slim
COPY --from=build /kubevip /kubevip
# What a user other than root may take up, where the Pod grants it. Nothing is compiled at run time: without byte
# code an agent would start four times as slowly, and its file system may be read-only.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libcap2-bin \
    && setcap cap_net_admin,cap_net_raw+p /kubevip/bin/python \
    && setcap cap_net_admin,cap_net_raw+p /kubevip/bin/python3 \
    && apt-get purge --yes --auto-remove libcap2-bin \
    && rm -rf /var/lib/apt/lists/* \
    && python -m compileall -q /usr/local/lib/python3.13 /kubevip/lib \
    && ln -s /kubevip/bin/kubevip /kube-vip \
    && ln -s /kubevip/bin/kube-vip-cloud-provider /kube-vip-cloud-provider
ENV PYTHONDONTWRITEBYTECODE=1
ENTRYPOINT ["/kube-vip"]
CMD ["manager"]
