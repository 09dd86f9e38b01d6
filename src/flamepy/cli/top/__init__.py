"""``flamepy top``: the model of ``flamepy.view`` in a terminal.

``columns`` (pure) says how rows look, ``listings`` which rows a page has, ``app`` draws them with
Textual and takes the keys, ``actions`` changes the engine where that was allowed.
"""
