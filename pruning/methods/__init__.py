"""One file per method. The file's name is the method's name; this folder's listing is the registry.
"""
