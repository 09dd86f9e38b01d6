"""What may be in ``flame.yaml``: one table, from which all that knows of its keys is made.

Belongs here: the table (``keys``), the kinds of values that it is made of (``kinds``), what is
wrong with a document (``document``), and what is made of the table for editors and readers
(``published``). Does not belong here: where the file is and what its values mean; that is
``config.file`` and ``config.context``. Pure.
"""
