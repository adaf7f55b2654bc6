#!/usr/bin/env python
"""Django's command line for Dadeum: `manage.py up` starts everything."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")
    os.umask(0o077)  # what is written here and by the processes that `up` starts is the owner's
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"dadeum: {error}")


if __name__ == "__main__":
    main()
