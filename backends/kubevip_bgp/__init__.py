"""Announces addresses to routers by BGP (RFC 4271): a speaker of our own, for nodes that announce and never forward."""
