//! Refuses types in an actor's signature that borrow, or that are no complete type.

use syn::{
    GenericArgument, Lifetime, PathArguments, PathSegment, ReturnType, Type, TypeParamBound, TypeReference,
    TypeTraitObject,
};

use crate::errors::Errors;
use crate::written::written;

/// Checks the type of an argument, or the `T` of its `&T`.
pub(crate) fn check_argument(ty: &Type, errors: &mut Errors) {
    walk(ty, &mut |part| match part {
        Part::Reference(reference) => {
            errors.add(reference, "an actor owns its arguments: write an owned type, such as `String` for `&str`");
        }
        Part::Lifetime(lifetime) if lifetime.ident != "static" => {
            errors.add(lifetime, "an actor owns its arguments: write a type without a lifetime, or with `'static`");
        }
        Part::Lifetime(_) | Part::Object(_) => {}
        Part::NoType(odd) => errors.add(odd, "write the argument's type: messages are decoded into it"),
    });
}

/// Whether a type is known to be unsized, so that it is used only behind a reference.
pub(crate) fn is_unsized(ty: &Type) -> bool {
    match ty {
        Type::Slice(_) | Type::TraitObject(_) => true,
        Type::Path(path) => path.path.is_ident("str"),
        _ => false,
    }
}

/// Whether rustc refuses the type too, which would report the same error again.
pub(crate) fn is_refused_by_rustc(ty: &Type) -> bool {
    let mut refused = is_unsized(bare(ty));
    walk(ty, &mut |part| refused |= matches!(part, Part::NoType(Type::Infer(_))));
    refused
}

/// Checks the type that an actor returns.
pub(crate) fn check_return(output: &ReturnType, errors: &mut Errors) {
    const OWN: &str = "an actor owns what it returns: write an owned type, such as `String` for `&str`";
    let ReturnType::Type(_, ty) = output else { return };
    walk(ty, &mut |part| match part {
        Part::Reference(TypeReference { lifetime: Some(lifetime), .. }) if lifetime.ident == "static" => {}
        Part::Reference(reference) => errors.add(reference, OWN),
        Part::Lifetime(lifetime) if lifetime.ident == "static" => {}
        Part::Lifetime(lifetime) => errors.add(lifetime, OWN),
        Part::Object(object) => {
            let is_error = |last: &PathSegment| last.ident == "Error";
            if let [TypeParamBound::Trait(only)] = object.bounds.iter().collect::<Vec<_>>()[..]
                && only.path.segments.last().is_some_and(is_error)
            {
                let what = "an actor's error crosses threads";
                errors.add(object, format!("{what}: write `{} + Send + Sync`", written(object)));
            }
        }
        Part::NoType(Type::Never(never)) => {
            errors.add(never, "an actor must return: write `()` or `Result<T, E>`");
        }
        Part::NoType(odd) => errors.add(odd, "write the type: an actor returns `()` or `Result<T, E>`"),
    });
}

/// A type without parentheses, and without the invisible groups of macros, around it.
pub(crate) fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => bare(&group.elem),
        Type::Paren(paren) => bare(&paren.elem),
        other => other,
    }
}

/// What `walk` reports.
enum Part<'a> {
    Reference(&'a TypeReference),
    Lifetime(&'a Lifetime),
    Object(&'a TypeTraitObject),
    /// `impl Trait`, `_` or `!`.
    NoType(&'a Type),
}

fn walk<'a>(ty: &'a Type, report: &mut impl FnMut(Part<'a>)) {
    match ty {
        Type::Reference(reference) => report(Part::Reference(reference)),
        Type::TraitObject(object) => report(Part::Object(object)),
        Type::ImplTrait(_) | Type::Infer(_) | Type::Never(_) => report(Part::NoType(ty)),
        Type::Array(array) => walk(&array.elem, report),
        Type::Slice(slice) => walk(&slice.elem, report),
        Type::Group(group) => walk(&group.elem, report),
        Type::Paren(paren) => walk(&paren.elem, report),
        Type::Tuple(tuple) => tuple.elems.iter().for_each(|ty| walk(ty, report)),
        Type::Path(path) => {
            for segment in &path.path.segments {
                let PathArguments::AngleBracketed(generics) = &segment.arguments else { continue };
                for generic in &generics.args {
                    match generic {
                        GenericArgument::Type(ty) => walk(ty, report),
                        GenericArgument::Lifetime(lifetime) => report(Part::Lifetime(lifetime)),
                        _ => {}
                    }
                }
            }
        }
        // serde implements nothing for the rest, so the compiler refuses it.
        _ => {}
    }
}
