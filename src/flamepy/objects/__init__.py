"""The object cache's client: puts, gets and patches over Arrow Flight, blocking.

Belongs here: payload formats (``codec``), the calls (``transfer``, ``pool``), what is kept of
objects that were read (``store``), repeats (``blocking_retrier``), one call (``caller``), and
``ObjectClient`` (``client``), which has them all. Only this module, ``attached`` and ``faces`` do
without the extra ``cache``. ``core.cache`` and ``aio`` are its faces.
"""
