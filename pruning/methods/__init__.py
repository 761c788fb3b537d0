"""One file per method, with the method's name; this folder's listing is the registry."""
