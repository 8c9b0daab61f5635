"""What the service refuses, in Dataverse's own codes and words (dataverse-api §10)."""

HELP = "https://go.microsoft.com/fwlink/?linkid=2195293"


class DataverseError(Exception):
    """An answer that is not a success; raising one rolls the request's transaction back."""

    def __init__(self, status: int, code: str, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers


def bad_query(message: str) -> DataverseError:
    return DataverseError(400, "0x80060888", message)


def bad_payload(table_set: str, inner: str) -> DataverseError:
    return DataverseError(
        400,
        "0x80048d19",
        f"Error identified in Payload provided by the user for Entity :'{table_set}', For more information on "
        "this error "
        f"please follow this help link {HELP}  ---->  InnerException : Microsoft.OData.ODataException: {inner}",
    )


def missing_row(table: str, key: str) -> DataverseError:
    return DataverseError(404, "0x80040217", f"{table} With Id = {key} Does Not Exist")


def missing_segment(name: str) -> DataverseError:
    return DataverseError(404, "0x80060888", f"Resource not found for the segment '{name}'.")


def missing_property(name: str, table: str) -> DataverseError:
    return bad_query(f"Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.{table}'.")


def bad_method(method: str) -> DataverseError:
    return DataverseError(405, "0x8006088a", f"The requested resource does not support http method '{method}'.")


def not_served(what: str) -> DataverseError:
    return DataverseError(501, "0x8006088a", f"This sandbox does not serve {what}.")
