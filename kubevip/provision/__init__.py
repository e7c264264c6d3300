"""Which Service gets which address, as the provider decides it. Pure; docs/pools.md explains it.

``verdict``    what a Service has, lacks or is refused, by what is written in it
``edits``      what is to be written into it, as a difference to what is there
``ledger``     what is known: Services, nodes, pools, and who has which address
``decision``   what is to be done about one Service, and what it is told
``accounts``   all of it together: what is due
``inventory``  the same account, to be shown to people
``replan``     what an edited ConfigMap would change

``kubevip.ipam`` has the pools, ``kubevip.controllers.provisioning`` acts.
"""
