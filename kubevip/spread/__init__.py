"""Spread mode, as one node decides it: all nodes share the Services. Pure; docs/placement.md explains it.

``charges``     what Services ask for, and what a node does about it
``roster``      the nodes as their Leases show them, and which terms are over
``docket``      what Services ask for, and what is still to be looked at
``tenure``      what is known of one address
``settling``    how much a node takes while its fleet starts
``assignment``  where each Service is, and which node takes what nobody has
``doubts``      what is to be found out about terms that may be over
``spreading``   all of it together: which addresses are this node's, and which records it writes
``rebalancing`` the fewest moves that even things out

``kubevip.placement`` has the hashing, ``kubevip.custody`` what is written down; ``kubevip.controllers.spread`` acts.
"""
