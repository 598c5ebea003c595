"""Runs a program for which nobody named a handler.

A file that defines `handler` is a function's: it is called with the payload.
Any other file is run as a script, and its end is the run's.
"""
import ast
import atexit
import logging
import os
import sys
import threading
import types

import thermocline_log as log
from thermocline_runtime import Fault

NAMES = ("main.py", "__main__.py", "index.py", "lambda_function.py", "app.py")


def handler(event, context):
    logging.root.handlers.clear()  # the program sets up its own
    log.error = lambda result: None  # the caller gets it; the output is the program's
    file = find(os.environ.get("LAMBDA_TASK_ROOT", "/var/task"))
    with open(file, "rb") as source:
        text = source.read()
    try:
        tree = ast.parse(text, file)
        code = compile(tree, file, "exec")
    except SyntaxError as err:
        raise Fault("UserCodeSyntaxError", f"Syntax error in module '{os.path.basename(file)}': {err}",
                    [f'  File "{err.filename}" Line {err.lineno}\n    {err.text}']) from err
    is_function = defines(tree)
    module = types.ModuleType("main" if is_function else "__main__")
    module.__file__ = file
    sys.modules[module.__name__] = module
    sys.argv = [file]
    try:
        exec(code, module.__dict__)
        if is_function and callable(module.__dict__.get("handler")):
            return module.handler(event, context)
        finish()
    except SystemExit as err:
        return left(err.code)
    return None


def find(root):
    for name in NAMES:
        file = os.path.join(root, name)
        if os.path.isfile(file):
            return file
    raise Fault("ImportModuleError", f"the code has none of {', '.join(NAMES)}: name a handler")


def defines(tree):
    """Tells whether a file binds `handler`, before it runs."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names = [node.name]
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.asname or alias.name for alias in node.names]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        else:
            continue
        if "handler" in names:
            return True
    return False


def finish():
    """Does what the interpreter does at the end of a script."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()


def left(status):
    if isinstance(status, str):
        print(status, file=sys.stderr)
        status = 1
    if status:
        raise Fault("ExitError", f"the program exited with status {status}")
    finish()
    return None
