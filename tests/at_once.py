"""Does things in threads that begin together."""

import threading

from django.db import connection

from training.errors import UserError


def at_once(*deeds) -> list:
    """Do things in threads that begin together; return what each came to."""
    gate, found = threading.Barrier(len(deeds)), [None] * len(deeds)

    def run(number: int, deed) -> None:
        gate.wait()
        try:
            found[number] = deed()
        except UserError as error:
            found[number] = error.code
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=one) for one in enumerate(deeds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
