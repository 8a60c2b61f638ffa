import typer

app = typer.Typer(help="x")


@app.command("none")
def none() -> None:
    "x"


@app.command("nine")
def nine() -> None:
    "x"
